"""Curation: from ids as they came to clusters that can be trained on.

Pailitao-VL §4 (arXiv 2602.13704): plan → propose → organize → review. The paper discloses the
steps, not the formulas; the formulas here are ours, built on named prior work in each module.

    documents.py   what is curated: views (picture, text, …), ids, category paths, links
    plan.py        what there is, and which tiers of certainty apply
    propose.py     seeds from metadata, links from behaviour, links inferred from the views
    organize.py    density-based expansion over the mutual neighbour graph
    judges.py      independent judges of every membership
    belief.py      what their evidence is worth, learned from the ids without believing them
    review.py      who is pruned, why, and where it belongs
    curate.py      the four steps in a row, and what comes out
    report.py      the counts, the reasons, the most doubtful
    noise.py       ids made wrong on purpose, and how much of that is found again
"""
