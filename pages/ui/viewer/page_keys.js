// The page's save key, wherever the focus is. Streamlit's segmented controls take Enter for themselves, with Ctrl too, so
// that Ctrl+Enter would do nothing after a click on one of them: here it is handed on to the page.

function handOnSaveKey(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.isTrusted) return;
  if (!event.target.closest?.("[role=radio]")) return;
  take(event);
  event.target.blur();
  const { key, code, ctrlKey, metaKey } = event;
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, ctrlKey, metaKey, bubbles: true, cancelable: true }));
}

// Keys of the form that Streamlit cannot give: L goes to the likelihood, Shift and a digit choose the BI-RADS category.

const CATEGORIES = { Digit4: ["4A", "4B", "4C"] }; // Shift+4 again goes on to the next

function chooseCategory(event) {
  const names = CATEGORIES[event.code] ?? [event.code.slice(-1)];
  const choices = [...document.querySelectorAll("[class*='st-key-birads'] [role=radio]")];
  const now = names.findIndex((name) => choices.some((c) => c.textContent === name && c.getAttribute("aria-checked") === "true"));
  const next = names[(now + 1) % names.length];
  if (now >= 0 && names.length === 1) return true; // chosen already: a second press must not take it away
  const choice = choices.find((c) => c.textContent === next);
  choice?.click();
  return Boolean(choice);
}

/** Whether the form took the key. */
function chooseInForm(event) {
  if (event.shiftKey && /^Digit[0-6]$/.test(event.code)) return chooseCategory(event);
  if (event.shiftKey || event.key.toLowerCase() !== "l") return false;
  const field = document.querySelector("[class*='st-key-likelihood'] input");
  field?.focus();
  field?.select();
  return Boolean(field);
}

function formKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !event.isTrusted || belongsElsewhere(event)) return;
  if (!chooseInForm(event)) return;
  take(event);
}

if (!window.tumortraceSaveKey) {
  window.tumortraceSaveKey = true; // the module may be evaluated again in the same page
  document.addEventListener("keydown", holdKey, true); // first: while a save is under way nobody else gets a key
  document.addEventListener("click", holdClick, true);
  document.addEventListener("keydown", commitBeforeKey, true);
  document.addEventListener("input", commitInPauses, true);
  document.addEventListener("visibilitychange", commitTyped);
  window.addEventListener("beforeunload", commitLeaving);
  document.addEventListener("keydown", handOnSaveKey, true);
  document.addEventListener("keydown", formKey, true);
}
