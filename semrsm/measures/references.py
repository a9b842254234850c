"""The papers that define the measures."""

KORNBLITH = "Kornblith et al.: Similarity of neural network representations revisited. ICML 2019"
SZEKELY = (
    "Székely, Rizzo: Partial distance correlation with methods for dissimilarities."
    " Annals of Statistics 42, 2014 (U-centring); Song et al.: Feature selection via dependence"
    " maximization. JMLR 13, 2012 (HSIC_1)"
)
KRIEGESKORTE = (
    "Kriegeskorte, Mur, Bandettini: Representational similarity analysis."
    " Frontiers in Systems Neuroscience 2, 2008"
)
SCHUTT = "Schütt et al.: Statistical inference on representational geometries. eLife 12, 2023"
NILI = "Nili et al.: A toolbox for representational similarity analysis. PLoS Comput Biol 10, 2014"
KENDALL = "Kendall: The treatment of ties in ranking problems. Biometrika 33, 1945"
DIEDRICHSEN = (
    "Diedrichsen et al.: Comparing representational geometries using whitened"
    " unbiased-distance-matrix similarity. Neurons, Behavior, Data analysis, and Theory 5, 2021"
)
HUH = "Huh et al.: The platonic representation hypothesis. ICML 2024"
KLABUNDE = "Klabunde et al.: Similarity of neural network models: a survey. 2023"
TANG = "Tang et al.: Similarity of neural networks with gradients. 2020"
WILLIAMS = "Williams et al.: Generalized shape metrics on neural representations. NeurIPS 2021"
