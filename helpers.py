"""What the notebooks use, as a table of contents; `helpers.trace??` shows the code and the room it lives in.

Each room is a file in `coursework/`, which imports lower floors only.
"""

# fmt: off
# All notebooks
from coursework.files import write_csv
# All notebooks: measured values and their mark, tables
from coursework.text import measured, say, show_table
# Notebooks 1 and 3: checks of parameters
from coursework.arguments import check_integer
# All notebooks: Keras on TensorFlow, silent
from coursework.backend import keras
# All notebooks: MNIST or scikit-learn's digits, one row per time step
from coursework.data import Data, binarize, check_classes, hold_out, load_data
# All notebooks: verdicts and points
from coursework.verdicts import answered, award
# A variant of the coursework for each student, where a class asks for that
from coursework.variants import variant
# Notebook 1: the two cells in SymPy
from coursework.cells import equations
from coursework.formulas import one_unit, sigmoid
# Notebook 1: Keras layers with hand-set weights
from coursework.hand_set import (
    deviation_from_keras, final_state, keras_layer, measure_gate_error, two_step_lstm, wide_lstm,
)
# Notebook 1: does a setting of the gates hold?
from coursework.checks_gates import check_counterexample, check_gates
# Two made-up cells for each student, where a class asks for that
from coursework.practice import check_own_cell, own_cell
# Notebook 1: gates to play with
from coursework.playground import gate_playground
# Notebook 1: figures
from coursework.figures_gates import (
    plot_gate_error, plot_imitation, plot_keeping, plot_margins, plot_panels, plot_reachable,
)
# Notebook 2: what decides a network
from coursework.experiment import Experiment, MODEL_SIZES, by_label, quick, recipe_for, tuned
from coursework.training import build_model, compile_model
# Notebook 2: train what is not trained yet
from coursework.sweep import train_all
# Notebooks 2 and 3: the sheet's networks from 32 seeds on 5,000 images
from coursework.atlas import read_atlas
# Notebook 2: figures
from coursework.figures_training import plot_learning_curves, plot_rows_as_steps, plot_summary_table, summary_table
# Notebook 3: gates and states at every step
from coursework.layers import layer_outputs
from coursework.trace import trace
# Notebook 3: what is read out, at the end and at every step
from coursework.readout import predictions_by_step, predictions_of, read_out
from coursework.influence import row_influence
# Notebooks 2 and 3: honest comparisons
from coursework.statistics import holm, mcnemar, mean_interval, wilson
# Notebook 3: what the states do over time
from coursework.analysis import (
    class_means, class_variances, commit_step, erase_last, first_ink, fit_probes, last_ink, mean_correlation,
    places_of_rows, probe_predictions, saturation, shuffle_pixels, step_lengths,
)
# Notebooks 2 and 3: do these answers fit your networks?
from coursework.checks_networks import (
    check_accuracies, check_gates_over_time, check_output, check_predictions, check_results,
)
# Notebook 3: the image that an answer is about
from coursework.checks_networks import image_with_output
# Notebook 3: figures of one's own
from coursework.figure import new_figure, show_figure
# Notebook 3: figures
from coursework.figures_networks import plot_accuracy_by_size, plot_images, show_comparisons
from coursework.figures_reading import (
    plot_by_step, plot_commit_steps, plot_film_strip, plot_reading, plot_row_influence, save_reading,
)
from coursework.figures_states import plot_class_means, plot_gate_means, plot_over_time, plot_saturation, plot_states
# Notebook 3: draw a digit and watch it being read, by networks in training too
from coursework.learning import networks_by_epoch
from coursework.reader import draw_and_read, save_reader
# Notebook 4: a cell of one's own, and what a cell can do: docs/cells.md
from coursework.cells import CELLS
from coursework.formulas import Cell, dot, symbols
from coursework.keras_cells import named_weights
from coursework.properties import properties
# Notebook 4: figures
from coursework.figures_cells import plot_beyond, plot_cells
# Notebook 4: questions like Q1, without end
from coursework.practice import practice

__all__ = [name for name in globals() if not name.startswith("_")]
