/** Capabilities of the browser and preferences of the visitor. */

/** A function of one instruction, i8x16.popcnt over i8x16.splat: valid only where SIMD128 is. */
const simdProbe = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11);

export function hasSimd(): boolean {
  return typeof WebAssembly === "object" && WebAssembly.validate(simdProbe);
}

export const prefersReducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
export const prefersDark = matchMedia("(prefers-color-scheme: dark)");
export const isPhone = matchMedia("(max-width: 600px)");

/** True where the small model is the better choice: the visitor saves data, the line is slow or memory is short. */
export function prefersSmall(): boolean {
  const { connection, deviceMemory } = navigator as Navigator & {
    connection?: { saveData?: boolean; effectiveType?: string };
    deviceMemory?: number;
  };
  const slow = connection?.effectiveType === "2g" || connection?.effectiveType === "slow-2g" || connection?.effectiveType === "3g";
  return connection?.saveData === true || slow || (deviceMemory !== undefined && deviceMemory <= 1);
}

/** Browser, version and system, as far as the user agent tells them. */
export function browserName(): string {
  const { userAgent } = navigator;
  const brands = [["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["Chrome", "Chrome"], ["Version", "Safari"]];
  const systems = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "CrOS", "Linux"];
  const [sign, brand] = brands.find(([sign]) => userAgent.includes(`${sign}/`)) ?? ["", "A browser"];
  const version = new RegExp(`${sign}/(\\d+)`).exec(userAgent)?.[1] ?? "";
  const system = systems.find((name) => userAgent.includes(name));
  return [brand, version, system && `on ${system}`].filter(Boolean).join(" ");
}

/** Bytes that the page and its workers hold; undefined where the browser does not tell. It may take a minute. */
export async function memoryInUse(): Promise<number | undefined> {
  try {
    const measuring = performance as Performance & { measureUserAgentSpecificMemory?(): Promise<{ bytes: number }> };
    return (await measuring.measureUserAgentSpecificMemory?.())?.bytes;
  } catch {
    return undefined;
  }
}
