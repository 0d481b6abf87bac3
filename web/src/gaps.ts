/** Texts with gaps as the engine reads them (core/sampling/gaps.h): a mark is a position to fill, {A-B} an open gap, {{ a brace. */

/** Whether a text has a gap whose length is left open; whether that can be filled is for the engine to say. */
export function hasOpenGap(text: string): boolean {
  return /\{\d*-\d*\}/.test(text.replaceAll("{{", ""));
}

export function escapeBraces(text: string): string {
  return text.replaceAll("{", "{{");
}

/** The text of which a position is a character; it has no open gap. */
export function unescapeBraces(text: string): string {
  return text.replaceAll("{{", "{");
}
