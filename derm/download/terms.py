"""The terms that HAM10000 comes under: shown every time, accepted by a flag."""

import textwrap

from derm.errors import UserError

TERMS = """\
HAM10000 (Harvard Dataverse, doi:10.7910/DVN/DBW86T)
licence: CC BY-NC 4.0, https://creativecommons.org/licenses/by-nc/4.0/: not for commercial use, name the authors
to cite: Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset, a large collection of multi-source
  dermatoscopic images of common pigmented skin lesions. Scientific Data 5, 180161 (2018).
  doi:10.1038/sdata.2018.161"""


def require_accepted(accepted: bool, licence: str = "", terms: str = "") -> None:
    """Print the terms, and what the server says of them. UserError if they are not accepted."""
    print(TERMS)
    for name, text in (("licence", licence), ("terms", terms)):
        if text:
            print(textwrap.fill(f"{name} as the server tells it: {text}", 118, subsequent_indent="  "))
    if not accepted:
        raise UserError("nothing was fetched: read the terms above, and add --accept-terms if you accept them")
