"""The rooms behind helpers.py. A room imports rooms of lower floors only:

6 figures_gates figures_training figures_analysis reader
5 checks_networks sweep
4 store statistics analysis influence
3 cells training checks_gates trace readout
2 data equations layers verdicts style variants
1 text arguments backend
0 files
"""
