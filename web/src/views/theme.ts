/** Light or dark: the system's choice until the visitor makes one, which is remembered. */
import { prefersDark } from "../page/features";
import { byId } from "./dom";

export type Theme = "light" | "dark";

const key = "folio-theme";

function remembered(): Theme | undefined {
  try {
    const theme = localStorage.getItem(key);
    return theme === "light" || theme === "dark" ? theme : undefined;
  } catch {
    return undefined;
  }
}

export class ThemeToggle {
  private button = byId("theme");

  constructor(private onChange: () => void) {
    this.wear(remembered());
    this.button.addEventListener("click", () => {
      const theme = this.worn === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(key, theme);
      } catch {
        // It is worn for this visit all the same.
      }
      this.wear(theme);
      onChange();
    });
    prefersDark.addEventListener("change", () => {
      this.label();
      onChange();
    });
  }

  wear(theme: Theme | undefined): void {
    if (theme) document.documentElement.dataset.theme = theme;
    this.label();
  }

  /** As an address asks for it: not remembered. */
  wearOnce(theme: Theme): void {
    this.wear(theme);
    this.onChange();
  }

  private get worn(): Theme {
    return (document.documentElement.dataset.theme as Theme | undefined) ?? (prefersDark.matches ? "dark" : "light");
  }

  private label(): void {
    this.button.textContent = this.worn === "dark" ? "Light" : "Dark";
  }
}
