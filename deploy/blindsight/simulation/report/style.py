"""The style sheet of the report: light and dark, screen, phone and paper."""

from __future__ import annotations

from typing import Final

_LIGHT: Final = """
--page:#faf9f6;--card:#ffffff;--ink:#20242a;--soft:#575d66;--line:#dcd9d1;--track:#ebe8e1;
--accent:#0b6e6e;--control:#8a8f98;--mark:#20242a;--warn:#7a4b00;--warn-page:#fff4dc;--warn-line:#e2b65a;
--s0:#0b63b0;--s1:#b3370f;--s2:#117733;--s3:#882299;--s4:#7a6000;--s5:#882255;--s6:#332288;--s7:#555b63;
"""
_DARK: Final = """
--page:#16191d;--card:#1e2227;--ink:#e8e6e1;--soft:#a9adb4;--line:#363b42;--track:#2b3036;
--accent:#4fc3b8;--control:#8b919b;--mark:#e8e6e1;--warn:#f3cf8a;--warn-page:#33290f;--warn-line:#7d6222;
--s0:#7ab8f0;--s1:#f09070;--s2:#7fd08f;--s3:#d79be6;--s4:#d9c267;--s5:#f08cb4;--s6:#a9a3f5;--s7:#b9bec6;
"""
_TEXT: Final = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;max-width:62rem;padding:2.5rem 1.5rem 3rem;background:var(--page);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .9rem}
p{margin:0 0 .8rem}
small,.note,.facts,footer{color:var(--soft)}
.facts{margin-bottom:1.2rem}
.lead{font-size:1.2rem;line-height:1.5;max-width:46rem;margin-bottom:1.4rem}
.limit{max-width:46rem}
section{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:1.4rem 1.5rem;margin:1.3rem 0}
footer{font-size:.9rem;margin-top:1.5rem}
.warning{background:var(--warn-page);color:var(--warn);border:1px solid var(--warn-line);border-radius:.45rem;
padding:.5rem .8rem;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem 1rem;
display:flex;flex-direction:column;justify-content:space-between}
.tile dt{color:var(--soft);font-size:.9rem;line-height:1.35}
.tile dd{margin:.35rem 0 0;font-size:1.55rem;font-weight:600;font-variant-numeric:tabular-nums}
.tile.main{border-color:var(--accent);border-width:2px}
.tile.main dd{color:var(--accent)}
"""
_TABLES: Final = """
.scroll{overflow-x:auto;overflow-wrap:normal}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.95rem;line-height:1.4}
caption{text-align:left;color:var(--soft);padding:0 0 .5rem;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;border-bottom:1px solid var(--line)}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-weight:500;font-size:.85rem;vertical-align:bottom}
tbody th{font-weight:500}
tbody tr:last-child>*{border-bottom:0}
.numbers td,.numbers thead th+th{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.words td{overflow-wrap:anywhere}
.words th{white-space:nowrap}
.parties th{width:20%}.parties td{width:40%}
.results td:nth-child(2){white-space:nowrap;font-variant-numeric:tabular-nums}
.meaning,.interval{display:block;font-weight:400;font-size:.88rem;color:var(--soft)}
.gauge{width:13rem;height:1.5rem;display:block}
.track{fill:var(--track)}.fill{fill:var(--accent)}.fill-control{fill:var(--control)}
.whisker{stroke:var(--mark);stroke-width:2;fill:none}.level{stroke:var(--mark);stroke-width:1.2;stroke-dasharray:2 2}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1.6rem 2.4rem;align-items:start}
details{margin-top:.8rem}summary{cursor:pointer;color:var(--accent);padding:.3rem 0}
.curve+.scroll,.bars+.scroll,.limit+.scroll{margin-top:1.2rem}
"""
_DRAWINGS: Final = """
.chart{width:100%;max-width:40rem;height:auto;display:block;overflow:visible}
.chart text{fill:var(--soft);font-size:11px}
.bars text{fill:var(--ink)}
.bars rect{stroke:var(--card);stroke-width:1}
.bars .inside{fill:#16191d;font-size:10px}
.keyed{display:flex;gap:.5em;align-items:baseline}
.swatch{flex:none;width:.8em;height:.8em;border-radius:.15em}
.grid{stroke:var(--line);stroke-width:1}
.chance{stroke:var(--ink);stroke-width:1.6;stroke-linecap:round}
.curve{display:grid;grid-template-columns:minmax(0,40rem) auto;gap:1rem 1.6rem;align-items:center}
.legend{list-style:none;margin:0;padding:0;font-size:.95rem;display:flex;flex-direction:column;gap:.25rem}
.legend li{display:flex;align-items:center;gap:.6rem}
.sample{width:2.5rem;height:1rem;flex:none}
[class^=line-]{stroke-width:1.7;stroke-linejoin:round}
.mark{stroke:none}
.line-all{stroke:var(--accent);stroke-width:3}.line-all .mark{fill:var(--accent)}
.line-crowd{stroke:var(--control);stroke-width:1}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1.2rem 2rem}
figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}
.forms{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;gap:.6rem}
.forms img{width:100%;height:auto;display:block;image-rendering:pixelated;border-radius:.25rem}
.forms small{display:block;font-size:.8rem;line-height:1.3;margin-top:.25rem}
"""
_LINES: Final = "".join(f".line-{n}{{stroke:var(--s{n})}}.line-{n} .mark{{fill:var(--s{n})}}\n" for n in range(8))
_NARROW: Final = """
@media (max-width:42rem){
body{padding:1.4rem .9rem 2rem}h1{font-size:1.5rem}.lead{font-size:1.08rem}
section{padding:1.1rem 1rem}.curve{grid-template-columns:minmax(0,1fr)}
.tiles{grid-template-columns:1fr 1fr}.tile dd{font-size:1.3rem}
.results td:nth-child(3),.results thead th:nth-child(3){display:none}
.legend{flex-flow:row wrap;gap:.3rem 1.2rem}
.parties{table-layout:fixed;font-size:.84rem;hyphens:auto}.parties th{width:25%}.parties td{width:37%}
.chart text{font-size:15px}.bars .inside{font-size:13px}
}
"""
_PAPER: Final = """
@media print{
:root{--page:#ffffff}
body{max-width:none;padding:0;font-size:10pt}section{border:0;padding:0;margin:1.2rem 0}
figure,tr,.curve,.chart,.tile{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}
details::details-content{content-visibility:visible;block-size:auto}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""

STYLE: Final = (
    f":root{{color-scheme:light dark;{_LIGHT}}}\n"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{_DARK}}}}}\n"
    f"{_TEXT}{_TABLES}{_DRAWINGS}{_LINES}{_NARROW}{_PAPER}"
)
