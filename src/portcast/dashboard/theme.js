// Light or dark: the system's choice, unless the switch says otherwise. Remembered in this browser only.

const KEY = "portcast-theme";
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Storage may be forbidden (private windows, policies): then the choice lasts as long as the page. */
function remembered() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}

function remember(value) {
  try {
    if (value === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, value);
  } catch {
    // See remembered().
  }
}

function apply(choice) {
  if (choice === null) delete root.dataset.theme;
  else root.dataset.theme = choice;
}

function current() {
  return root.dataset.theme ?? (systemDark.matches ? "dark" : "light");
}

/** Wire the switch. Choosing what the system has anyway follows the system again. */
export function connectThemeSwitch(button) {
  const describe = () => {
    const label = current() === "dark" ? "Use the light theme" : "Use the dark theme";
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    const wanted = current() === "dark" ? "light" : "dark";
    const choice = wanted === (systemDark.matches ? "dark" : "light") ? null : wanted;
    apply(choice);
    remember(choice);
    describe();
  });
  systemDark.addEventListener("change", describe);
  describe();
}

apply(remembered());
