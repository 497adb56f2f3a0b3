"""The rooms behind helpers.py. A room imports rooms of lower floors only:

8 figures_gates figures_training figures_analysis reader
7 checks_networks sweep hand_set
6 store statistics analysis
5 trace training
4 keras_cells checks_gates properties
3 impossible
2 settings data cells verdicts style variants
1 text arguments backend formulas
0 files words
"""
