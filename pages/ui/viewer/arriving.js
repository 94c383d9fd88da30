// From a case's picture to its form. The form comes a little later: on a page that is opened the browser may still be loading
// what draws its buttons, and after a step to another case that case's form stands there for a moment. Keys for the form wait
// until it is there; the viewer's own work at once.

let arriving = null; // { view, keys, ready, quiet (since when), label, begun, timer } until the open case's form is there

function beginArrival(viewKey) {
  if (arriving) endArrival(false); // gone on before its form was there
  if (saving) return; // its keys wait for the same form
  const now = Date.now();
  arriving = { view: viewKey, keys: [], ready: false, quiet: now, label: statusLabel(), begun: now, timer: setInterval(watchArrival, LOOK_MS) };
}

/** Whether the form on the page belongs to the picture: its save button does, or the one that corrects a finished reading. */
function formBelongs() {
  const scope = arriving.view.replace(/^view/, "").replace(/[^\w-]/g, "-"); // as Streamlit makes class names of keys
  return ["save", "correct"].some((name) => document.querySelector(`${FORM} .st-key-${name}${scope} button`));
}

/** Whether what is done to the form now would be done too soon: it is still another case's, or a key for it waits. */
function tooSoon() {
  return arriving && (arriving.keys.length > 0 || !formBelongs());
}

/** Keys of the form; after L those of a number too. */
function waitsForForm(event) {
  if (isSaveKey(event)) return tooSoon();
  if (event.ctrlKey || event.altKey || event.metaKey || belongsElsewhere(event)) return false;
  const numbered = arriving.keys.some(({ code }) => code === "KeyL");
  return /^(Digit|Numpad)\d$/.test(event.code) || event.code === "KeyL" || (numbered && ["Backspace", "Tab"].includes(event.key));
}

/** A save key is dropped: nobody saves what nobody has seen. */
function keepForForm(event) {
  take(event);
  const { key, code, shiftKey } = event;
  if (!isSaveKey(event)) arriving.keys.push({ key, code, shiftKey });
}

function watchArrival() {
  const now = Date.now();
  const { ready, keys, label } = arriving;
  const comes = pageRuns() || document.querySelector(`${FORM} [data-testid=stSkeleton]`);
  if (comes) arriving.quiet = now;
  arriving.ready = !comes && formBelongs();
  if (ready && arriving.ready) return endArrival(true); // twice: what has just been drawn may not listen yet
  if (now - arriving.quiet >= QUIET_MS) return endArrival(true); // nothing is asked of who looks at a case again
  if (now - arriving.begun >= SILENT_MS) return endArrival(false);
  if (!keys.length || now - arriving.begun < TELL_MS) return;
  label.textContent = `${keys.length} ${keys.length === 1 ? "key waits" : "keys wait"} for this case's form`;
  if (!label.isConnected) document.body.append(label);
}

function endArrival(arrived) {
  const { keys, label, timer } = arriving;
  clearInterval(timer);
  label.remove();
  arriving = null;
  if (arrived) keys.forEach(giveKey);
  else tellDropped(label, keys.length, (count, were) => `${count} ${were} typed before the form was there and dropped`);
}
