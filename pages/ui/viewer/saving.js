// From the save key to the next case's form. What stands on the screen meanwhile belongs to the reading that is being saved, and
// the server takes what arrives together in no certain order: a class chosen a moment too early would change that reading.
// So keys wait here until the next form is there, and clicks on the form do nothing. A save key is never kept: nobody saves
// what nobody has seen.

const SAVE_BUTTON = "[class*='st-key-save-unaided-'] button, [class*='st-key-save-aided-'] button";
const FORM = ".st-key-assessment";
const LOOK_MS = 25;
const QUIET_MS = 400; // the program has answered and drawn no other form: the save was refused, or nothing is left to read
const TELL_MS = 250; // sooner it would only flicker
const DROPPED_MS = 5000;
const SILENT_MS = 10000; // no answer at all

let saving = null; // { form, keys, answered, quiet (since when), label, begun, timer } while a save is under way

function formShown() {
  const button = document.querySelector(SAVE_BUTTON);
  return button?.closest("[class*='st-key-save-']").className.match(/st-key-save-\S+/)[0] ?? "";
}

function isSaveKey(event) {
  return event.key === "Enter" && (event.ctrlKey || event.metaKey);
}

function pageRuns() {
  return document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "running";
}

/** What says that keys wait or were dropped; not on the page yet. */
function statusLabel() {
  const label = document.createElement("div");
  label.className = "tumortrace-saving";
  label.role = "status";
  label.style.cssText = "position:fixed;right:1.5rem;bottom:1.2rem;z-index:1000;padding:.35rem .9rem;border-radius:6px;background:#2f81f7;color:#fff";
  return label;
}

function beginSaving() {
  const button = document.querySelector(SAVE_BUTTON);
  if (!button || button.disabled) return;
  const now = Date.now();
  saving = { form: formShown(), keys: [], answered: false, quiet: now, label: statusLabel(), begun: now, timer: setInterval(watchSave, LOOK_MS) };
}

function watchSave() {
  const form = formShown();
  const now = Date.now();
  const runs = pageRuns();
  // Its button may be drawn before its other fields, which would not take their keys yet: wait for the whole page.
  if (form && form !== saving.form && !runs) return endSaving(true);
  if (runs) Object.assign(saving, { answered: true, quiet: now });
  // Until the program answers nothing on the page says that it was asked.
  if (now - saving.quiet >= (saving.answered ? QUIET_MS : SILENT_MS)) return endSaving(false);
  if (now - saving.begun < TELL_MS) return;
  const waiting = saving.keys.length;
  saving.label.textContent = waiting ? `Saving … ${waiting} ${waiting === 1 ? "key waits" : "keys wait"} for the next case` : "Saving …";
  if (!saving.label.isConnected) document.body.append(saving.label);
}

/** `arrived`: the next form is there and gets the keys. Otherwise they are dropped: nobody knows which case they were meant for. */
function endSaving(arrived) {
  const { keys, label, timer, form } = saving;
  clearInterval(timer);
  label.remove();
  saving = null;
  if (!arrived) {
    const refused = formShown() === form; // the same case is still there
    return tellDropped(label, keys.length, refused
      ? (count, were) => `Not saved; ${count} typed meanwhile ${were} dropped`
      : (count, were) => `${count} ${were} typed for the next case and dropped`);
  }
  const focused = document.activeElement;
  if (focused?.closest(FORM)) focused.blur(); // the cursor of the last case
  keys.forEach(giveKey);
}

/** `sentence(keys, were)` says of how many keys what became of them. */
function tellDropped(label, dropped, sentence) {
  if (!dropped) return;
  label.textContent = dropped === 1 ? sentence("1 key", "was") : sentence(`${dropped} keys`, "were");
  document.body.append(label);
  setTimeout(() => label.remove(), DROPPED_MS);
}

function giveKey(key) {
  const focused = document.activeElement;
  if (!focused?.closest(FORM) || !focused.matches("input, textarea")) {
    const event = new KeyboardEvent("keydown", { ...key, bubbles: true, cancelable: true });
    if (!chooseInForm(event)) document.body.dispatchEvent(event);
  } else if (key.key.length === 1) document.execCommand("insertText", false, key.key);
  else if (key.key === "Backspace") document.execCommand("delete");
  else if (["Tab", "Enter", "Escape"].includes(key.key)) focused.blur();
}

/** Nobody else gets it. */
function take(event) {
  event.stopImmediatePropagation();
  event.preventDefault();
}

function holdKey(event) {
  if (!event.isTrusted) return;
  if (arriving && waitsForForm(event)) return keepForForm(event);
  if (!saving) {
    if (isSaveKey(event) && !event.repeat) beginSaving();
    return;
  }
  const plain = !event.ctrlKey && !event.altKey && !event.metaKey;
  if (plain && /^F\d+$/.test(event.key)) return; // the browser's own
  if (!plain && !isSaveKey(event) && !event.altKey) return;
  take(event);
  const { key, code, shiftKey } = event;
  if (plain && key !== "Shift") saving.keys.push({ key, code, shiftKey });
}

function holdClick(event) {
  if (!event.isTrusted) return;
  if ((saving || tooSoon()) && event.target.closest?.(FORM)) take(event);
  else if (!saving && event.target.closest?.(SAVE_BUTTON)) beginSaving();
}
