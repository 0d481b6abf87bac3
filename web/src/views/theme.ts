/** Light or dark: the system's choice until the visitor makes one, which is remembered. */
import { prefersDark } from "../page/features";
import { byId } from "./dom";

export type Theme = "light" | "dark";

const key = "folio-theme";

function rememberedTheme(): Theme | undefined {
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
    this.apply(rememberedTheme());
    this.button.addEventListener("click", () => {
      const theme = this.current === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(key, theme);
      } catch {
        // It is worn for this visit all the same.
      }
      this.apply(theme);
      onChange();
    });
    prefersDark.addEventListener("change", () => {
      this.label();
      onChange();
    });
  }

  apply(theme: Theme | undefined): void {
    if (theme) document.documentElement.dataset.theme = theme;
    this.label();
  }

  /** Applies the theme that an address asks for, which is not remembered. */
  applyOnce(theme: Theme): void {
    this.apply(theme);
    this.onChange();
  }

  private get current(): Theme {
    return (document.documentElement.dataset.theme as Theme | undefined) ?? (prefersDark.matches ? "dark" : "light");
  }

  private label(): void {
    this.button.textContent = this.current === "dark" ? "Light" : "Dark";
  }
}
