/** The single file has the engine for one thread, which needs no isolation. */
import type * as page from "./isolation";

export const mostThreads: typeof page.mostThreads = () => 1;

export const canIsolate: typeof page.canIsolate = () => false;

export const isolate: typeof page.isolate = () => Promise.reject(new Error("There is nothing to isolate it with."));

export const describeIsolation: typeof page.describeIsolation = () => "not needed: the page in one file has the engine for one thread alone";
