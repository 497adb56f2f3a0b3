"""The rooms behind helpers.py. A room imports rooms of lower floors only:

6 checks_networks sweep
5 figures_gates influence practice reader store
4 figures_analysis figures_training hand_set properties readout trace training
3 analysis checks_gates experiment impossible keras_cells layers
2 data settings statistics style verdicts
1 arguments cells text typed
0 backend files formulas variants words
"""
