"""Descriptions of a data set for catalogues, made from its verified manifest. They carry no signature themselves."""
