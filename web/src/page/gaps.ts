/** Texts with gaps as the engine reads them (core/sampling/gaps.h): a mark is a position to fill, {A-B} an open gap, {{ a brace. */

/** True where a text has a gap of open length; the engine decides whether it can be filled. */
export function hasOpenGap(text: string): boolean {
  return /\{\d*-\d*\}/.test(text.replaceAll("{{", ""));
}

/** A text without its gaps of open length. */
export function withoutGaps(text: string): string {
  return text.replaceAll(/\{\d*-\d*\}/g, "");
}

export function escapeBraces(text: string): string {
  return text.replaceAll("{", "{{");
}

/** The text of which a position is a character; it has no open gap. */
export function unescapeBraces(text: string): string {
  return text.replaceAll("{{", "{");
}
