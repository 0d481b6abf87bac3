// The page's icons: a red sheet with lines of verse, drawn of rectangles, as an SVG and as PNGs.
import { deflateSync } from "node:zlib";

const [paper, sheet, red] = ["#f5f4ef", "#fbfaf6", "#b2361a"];

/** Colour, left, top, width and height on a square of 32 by 32. */
const drawing = [
  [red, 5, 2, 22, 28],
  ...[[9, 7, 10], [9, 11, 14], [9, 15, 5], [15, 15, 6], [9, 19, 12], [9, 23, 3], [13, 23, 7]].map(([left, top, width]) => [sheet, left, top, width, 2]),
];
/** The same smaller and on a ground, of which a system may cut away all but the middle four fifths. */
const maskable = [[paper, 0, 0, 46, 46], ...drawing.map(([colour, left, top, ...size]) => [colour, left + 7, top + 7, ...size])];

/** Their files by their names. */
export function icons() {
  return { "icon.svg": svg(drawing, 32), "icon-192.png": png(drawing, 32, 192), "icon-512.png": png(drawing, 32, 512), "icon-maskable.png": png(maskable, 46, 512) };
}

function svg(rectangles, width) {
  const shapes = rectangles.map(([colour, x, y, w, h]) => `<path fill="${colour}" d="M${x} ${y}h${w}v${h}h-${w}z"/>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${width}">${shapes.join("")}</svg>\n`;
}

/** Rectangles on a square of `width`, as a PNG of `size` pixels. */
function png(rectangles, width, size) {
  const scale = size / width;
  const pixels = Buffer.alloc(size * (4 * size + 1));
  for (const [colour, ...box] of rectangles) {
    const [left, top, right, bottom] = [box[0], box[1], box[0] + box[2], box[1] + box[3]].map((place) => Math.round(place * scale));
    const pixel = Buffer.from(`${colour.slice(1)}ff`, "hex");
    // A row begins with the number of its filter, none.
    for (let y = top; y < bottom; ++y) pixels.fill(pixel, y * (4 * size + 1) + 1 + 4 * left, y * (4 * size + 1) + 1 + 4 * right);
  }
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    return [uint32(data.length), body, uint32(crc32(body))];
  };
  // Eight bits of red, green, blue and opacity.
  const head = Buffer.concat([uint32(size), uint32(size), Buffer.from([8, 6, 0, 0, 0])]);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunk("IHDR", head), ...chunk("IDAT", deflateSync(pixels, { level: 9 })), ...chunk("IEND", Buffer.alloc(0))]);
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The checksum of PNG's chunks. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; ++bit) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
