"""The rooms behind helpers.py. A room imports rooms of lower floors only:

6 figures_gates figures_training figures_networks figures_states figures_reading reader
5 checks_networks sweep
4 store statistics analysis
3 cells training checks_gates
2 data equations trace verdicts style variants
1 text arguments backend figure
0 files
"""
