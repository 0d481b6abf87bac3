/** Typed and pasted texts, converted to the characters that a model has. */
import { withoutGaps } from "./gaps";
import type { Vocabulary } from "./lanes";

/** Signs, and the texts that may stand for them, the closest first. */
const substitutes: readonly (readonly [signs: string, ...texts: string[]])[] = [
  ["\u2018\u2019\u201a\u201b\u2032\u02bc\u02b9\u00b4\u2039\u203a`", "'"],
  ["\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\"", '"', "'"],
  ["\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"],
  ["\u2028\u2029\u0085\u000b\u000c", "\n"],
  ["\t", " "],
  // Signs that do not show: soft hyphens, joiners, byte order marks.
  ["\u00ad\u200b\u200c\u200d\u2060\ufe0e\ufe0f\ufeff", ""],
];

function inVocabulary(character: string, vocabulary: Vocabulary): string {
  if (vocabulary.has(character)) return character;
  const texts = substitutes.find(([signs]) => signs.includes(character))?.slice(1) ?? [];
  // Ellipses, ligatures and the many kinds of space have a plain form of their own.
  const form = [...texts, character.normalize("NFKC")].find((text) => [...text].every((sign) => vocabulary.has(sign)));
  return form ?? character;
}

/** The text with typographic signs that the vocabulary lacks in their plain form, where it has that; `mark` stays. */
export function plainText(text: string, vocabulary: Vocabulary, mark = ""): string {
  return [...text].map((character) => (character === mark ? character : inVocabulary(character, vocabulary))).join("");
}

const mostNamed = 6;

/** The sentence that names what a vocabulary lacks of a text; undefined where it lacks nothing. */
export function whyUnknown(text: string, vocabulary: Vocabulary): string | undefined {
  const unknown = [...new Set(text)].filter((character) => !vocabulary.has(character));
  if (!unknown.length) return undefined;
  const names = unknown.slice(0, mostNamed).map((character) =>
    /[\p{C}\p{M}\p{Z}]/u.test(character) ? `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}` : character);
  const rest = unknown.length - names.length;
  return `The model does not know ${names.join(" ")}${rest ? ` and ${rest} other characters` : ""}.`;
}

/** The same for a prompt, which may have open gaps. */
export function whyUnknownInPrompt(prompt: string, vocabulary: Vocabulary): string | undefined {
  const text = withoutGaps(prompt);
  const brace = [...text].some((character) => "{}".includes(character) && !vocabulary.has(character));
  return brace ? "A gap needs two braces and two numbers, such as {1-12}; the prompt has a brace that belongs to none." : whyUnknown(text, vocabulary);
}
