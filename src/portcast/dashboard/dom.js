// Elements without markup: data from devices only ever becomes a text node.

/** Make an element. `children` are elements or text; a string is always text. */
export function element(tag, { className = "", attributes = {} } = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Set text only if it differs, so that an unchanged counter costs no layout and no selection is lost. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function byId(id) {
  return document.getElementById(id);
}
