"""The rooms behind helpers.py. A room imports rooms of lower floors only:

7 learning
6 checks_networks playground sweep
5 figures_gates influence reader store
4 figures_analysis figures_training hand_set readout trace training
3 analysis checks_gates experiment layers
2 data keras_cells statistics style verdicts
1 arguments cells properties text
0 backend files formulas variants words
"""
