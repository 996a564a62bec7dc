"""A relay: rooms in which parties leave documents for one another. FORMAT.md section K. Extra ``relay``.

It stores opaque bytes and understands none of them. Nothing can be changed or removed through it: who puts another
content under a name adds a version, and both are listed. Documents protect themselves; whoever runs the relay can

* learn: names (hence which federation, which members, which step of a ceremony), sizes, times, addresses of clients,
  and from the records, which are readable, the roster;
* do: keep documents back or delay them, show some parties less than others, add junk. Nothing else: what is changed on
  the way fails its digest and its signature.
"""
