/** The list of what the browser stores of the page, and the button that deletes it. Its rows and words stand in the page from the beginning. */
import { canStore, deleteStored, listStored, onStored } from "../page/storage";
import type { Announcer } from "./announcer";
import { byId } from "./dom";

export class Stored {
  private region = byId("stored");
  private button = byId<HTMLButtonElement>("delete-stored");

  constructor(private announcer: Announcer) {
    this.region.hidden = !canStore();
    if (this.region.hidden) return;
    this.button.addEventListener("click", () => void deleteStored().then(() => this.show("stored-deleted")));
    onStored((isFull) => void this.show(isFull ? "stored-full" : ""));
    void this.show("");
  }

  /** Shows the list, and the sentence of that name where there is one. */
  private async show(sentence: string): Promise<void> {
    const sizes = await listStored().catch(() => undefined);
    // This browser refuses to store.
    if (!sizes) return void (this.region.hidden = true);
    for (const row of this.region.querySelectorAll<HTMLElement>("[data-stored]")) {
      const size = sizes.get(row.dataset.stored!);
      row.textContent = size ? `${(size / 1e6).toFixed(1)} MB` : "not stored";
    }
    byId("stored-deleted").hidden = sentence !== "stored-deleted";
    byId("stored-full").hidden = sentence !== "stored-full";
    if (sentence) this.announcer.say(byId(sentence).textContent!);
    this.button.disabled = !sizes.size;
  }
}
