// A field that is typed in tells the program only when the cursor leaves it. It must tell sooner where the cursor never does:
// before a key that saves or leads to another case, a reload, a window that is closed or hidden, a browser that dies.

const PAUSE_MS = 2000;
let pause = 0;

/** Let the form's field under the cursor tell what it holds; the cursor stays. Harmless where it has told already. */
function commitTyped() {
  clearTimeout(pause);
  const field = document.activeElement;
  if (!field?.closest(FORM) || !field.matches("input, textarea")) return;
  field.dispatchEvent(new FocusEvent("focusout", { bubbles: true })); // what Streamlit waits for
}

/** The page is going: Streamlit sends in the next turn of the event loop, which may not come any more. */
function commitLeaving() {
  const later = window.setTimeout;
  window.setTimeout = (act, ms, ...rest) => (ms ? later(act, ms, ...rest) : queueMicrotask(() => act(...rest)));
  later(() => (window.setTimeout = later), 0); // a download, or an answer of "stay"
  commitTyped();
}

function commitBeforeKey(event) {
  if (isSaveKey(event) || (event.altKey && ["ArrowLeft", "ArrowRight"].includes(event.key))) commitTyped();
}

/** Only comments: a number told while its second digit is on the way would be rewritten under the cursor. */
function commitInPauses(event) {
  clearTimeout(pause);
  if (event.target.matches?.("textarea") && !event.isComposing) pause = setTimeout(commitTyped, PAUSE_MS);
}
