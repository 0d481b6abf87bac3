/** The single file is whole, so nothing of it need be stored. */
import type * as page from "./storage";

export const canStore: typeof page.canStore = () => false;

export const keepPage: typeof page.keepPage = () => Promise.resolve();

export const onStored: typeof page.onStored = () => {};

export const listStored: typeof page.listStored = () => Promise.resolve(new Map<string, number>());

export const deleteStored: typeof page.deleteStored = () => Promise.resolve();
