"""Abbreviations in names, which occur in texts of any language."""

from typing import Final

from transforms.splitter.languages.language import words

TITLES: Final = words("""
        v mr mrs ms mme mlle mgr dr drs prof st ste sta sto ph rev gen sen gov col capt sgt lt vs cf
    """)
COMPANIES: Final = words("""
        inc corp co ltd bros jr sr llc gmbh s.a s.l s.p.a s.r.l n.v b.v a.g u.s u.s.a u.k d.c ph.d m.d
    """)
