// Draw a digit, and watch trained networks read it row by row: the entry, on the anywidget contract.
//
// Modules without dependencies, in page/. reader.py joins them to one script, which Jupyter runs as a widget and which
// stands in the page. Those that are exported here compute without a browser (tests/test_reader.py
// runs them in node). Rows are time steps, counted from 1 on the screen and from 0 in arrays.

import { playground } from "./page/playground.js";
import { Stage } from "./page/stage.js";

export * from "./page/arithmetic.js";
export * from "./page/ink.js";
export * from "./page/formula.js";
export * from "./page/state.js";
export * from "./page/story.js";
export * from "./page/playground.js";

/** The anywidget contract: show `model` in `el`, and return what ends it. */
function render({ model, el }) {
  const content = model.get("content");
  const stage = new Stage(model, content, content.byHand ? playground : null);
  el.append(stage.root);
  return () => stage.pause();
}

export default { render };
