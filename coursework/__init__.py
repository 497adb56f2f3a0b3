"""The rooms behind helpers.py. A room imports rooms of lower floors only:

7 learning
6 checks_networks playground sweep
5 influence reader store
4 atlas figures_gates figures_reading figures_states figures_training hand_set practice readout trace training
3 analysis checks_gates experiment figures_cells figures_networks layers properties
2 data impossible keras_cells statistics style verdicts
1 arguments cells settings text typed
0 backend figure files formulas machine variants words
"""
