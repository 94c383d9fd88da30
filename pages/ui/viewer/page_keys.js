// The page's save key, wherever the focus is. Streamlit's segmented controls take Enter for themselves, with Ctrl too, so
// that Ctrl+Enter would do nothing after a click on one of them: here it is handed on to the page.

function handOnSaveKey(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.isTrusted) return;
  if (!event.target.closest?.("[role=radio]")) return;
  event.stopImmediatePropagation();
  event.preventDefault();
  event.target.blur();
  const { key, code, ctrlKey, metaKey } = event;
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, ctrlKey, metaKey, bubbles: true, cancelable: true }));
}

if (!window.tumortraceSaveKey) {
  window.tumortraceSaveKey = true; // the module may be evaluated again in the same page
  document.addEventListener("keydown", handOnSaveKey, true);
}
