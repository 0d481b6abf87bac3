/** A text with open gaps: it is filled with each choice of their lengths; the best is shown, and the list lets another one be. */
import { sameRequest } from "../page/address";
import type { EngineHost } from "../engine/host";
import { unescapeBraces } from "../page/gaps";
import type { Vocabulary } from "../page/lanes";
import type { Request } from "../engine/protocol";
import { byId, html } from "./dom";

interface Candidate {
  /** The request that makes it as a sample like any other. */
  request: Request;
  id: Int32Array;
  nats: number;
}

export interface CandidatesEvents {
  /** A candidate is to be shown. */
  show(request: Request): void;
  /** Something about `running` or `progress` is new. */
  changed(): void;
  failed(sentence: string): void;
  proofreaderMissing(request: Request, damaged: boolean): void;
}

export class Candidates {
  running = false;
  /** The request whose candidates are listed; its prompt is the text with open gaps. */
  asked: Request | undefined;
  private section = byId("candidates");
  private list = byId("candidate-list");
  private candidates: Candidate[] = [];
  /** All that have been listed at this visit. */
  private requests = new WeakSet<Request>();
  /** Candidates that have been filled, and their number, which is 0 until the engine has told it. */
  private done = 0;
  private count = 0;

  constructor(private engine: EngineHost, private events: CandidatesEvents) {}

  /** Empty where nothing runs. */
  get progress(): string {
    return this.running ? `Candidate ${this.done + 1}${this.count ? ` of ${this.count}` : ""}` : "";
  }

  /** True where the given letters of the text were typed as a prompt. */
  isFromPrompt(request: Request): boolean {
    return this.requests.has(request);
  }

  /** The listed candidate that a request asks for, if it is one. */
  listed(request: Request): Request | undefined {
    return this.candidates.find((candidate) => sameRequest(candidate.request, request))?.request;
  }

  /** Fills all choices, then has the best of them shown; without an end, what was there before stays. */
  fill(asked: Request, vocabulary: Vocabulary): void {
    // A run that still goes must not end as this one.
    this.engine.stop();
    this.running = true;
    [this.done, this.count] = [0, 0];
    const { mark } = vocabulary;
    const candidates: Candidate[] = [];
    let kept = -1;
    this.engine.infill({
      request: { ...asked, prompt: "" }, text: asked.prompt, mark,
      onCandidate: ({ text }, id, nats, index, count) => {
        [this.done, this.count] = [index + 1, count];
        const request = { ...asked, prompt: "", length: id.length, text, ...(mark === "_" ? {} : { mark }) };
        candidates[index] = { request, id, nats };
        // The last one is followed by the end.
        if (this.done < count) this.events.changed();
      },
      onRated: (index) => (kept = index),
      onProofreaderMissing: (damaged) => this.events.proofreaderMissing(asked, damaged),
      onFailure: (sentence) => this.events.failed(sentence),
      onEnd: () => {
        this.running = false;
        if (kept < 0) return this.events.changed();
        this.asked = asked;
        this.candidates = candidates;
        this.offer(vocabulary, kept);
        this.events.show(candidates[kept].request);
      },
    });
    this.events.changed();
  }

  /** Another sample begins: where it is a candidate, the list says so, else it goes. */
  follow(request: Request): void {
    if (!this.candidates.some((candidate) => candidate.request === request)) return this.clear();
    this.list.querySelectorAll("button").forEach((button, index) => {
      if (this.candidates[index].request === request) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  }

  clear(): void {
    this.candidates = [];
    this.asked = undefined;
    this.section.hidden = true;
  }

  private offer(vocabulary: Vocabulary, kept: number): void {
    for (const { request } of this.candidates) this.requests.add(request);
    this.list.replaceChildren(...this.candidates.map((candidate, index) =>
      html("li", {}, html("button", { click: () => this.events.show(candidate.request) },
        html("span", {}, ...wordsOf(candidate, vocabulary)),
        html("span", { class: "num" }, candidate.nats.toFixed(2)), html("i", {}, index === kept ? "kept" : "")))));
    this.section.hidden = false;
  }
}

/** The letters that filled the gaps stand out. */
function wordsOf({ request, id }: Candidate, vocabulary: Vocabulary): (Node | string)[] {
  const given = [...unescapeBraces(request.text!)];
  return Array.from(id, (letter, position) => {
    const character = vocabulary.character(letter);
    return given[position] === vocabulary.mark ? html("b", {}, character) : character;
  });
}
