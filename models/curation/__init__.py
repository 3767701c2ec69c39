"""Curation: from noisy product ids to clean clusters that can be trained on.

Pailitao-VL §4 (arXiv 2602.13704): plan → propose → organize → review. The paper discloses the
steps, not the formulas; the formulas here are ours, built on named prior work in each module.

    documents.py         what is curated: views (picture, text, …), ids, category paths, links
    folder.py            the documents of a catalog folder
    plan.py              counts, and which tiers of certainty apply
    propose.py           seeds from metadata, links from behaviour, pairs inferred from the views
    organize.py          density-based expansion over the graph of mutual neighbours
    plda.py              one view, scaled by how clusters differ and how their members do
    neighbours.py        nearest neighbours, and which are mutual
    view_space.py        cross-fitted spaces of a view, and its evidence for memberships
    evidence_sources.py  evidence of all views, of links, of categories and of a reranker
    noise_model.py       weights of the evidence and the rate of wrong ids, learned from noisy ids
    review.py            which ids are wrong, and where their documents belong
    explanations.py      why, in words
    curate.py            the four steps in a row, and the result
    juicing.py           training sets of fewer pixels or fewer samples
    report.py            counts and changes as JSON, clusters as JSON lines
    label_noise.py       noise injected on purpose, and how much of it is found again
"""
