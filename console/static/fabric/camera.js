/** Where one looks: screen = world * k + (x, y). Pure; a camera is a value. */

export const K_MOST = 64;

/** What stands over the map: buttons at its top, the legend at its bottom. */
export const TOP_PX = 46;
export const BOTTOM_PX = 40;

/** Width by height of what is free of them. */
export const freeAspect = (window) => (window.w - 32) / Math.max(50, window.h - TOP_PX - BOTTOM_PX - 16);

/** The camera that shows a whole rectangle of the world in a window, with room around it. */
export function fitted(rect, window, room = 16, k_most = 2.2) {
  const free = window.h - TOP_PX - BOTTOM_PX;
  const k = Math.min((window.w - 2 * room) / rect.w, Math.max(20, free - room) / rect.h, k_most);
  return { k, x: window.w / 2 - (rect.x + rect.w / 2) * k, y: TOP_PX + free / 2 - (rect.y + rect.h / 2) * k };
}

/** Zoomed by a factor about a point of the screen. */
export function zoomed(camera, factor, at, k_least) {
  const k = Math.min(K_MOST, Math.max(k_least, camera.k * factor));
  const real = k / camera.k;
  return { k, x: at.x - (at.x - camera.x) * real, y: at.y - (at.y - camera.y) * real };
}

export const moved = (camera, dx, dy) => ({ ...camera, x: camera.x + dx, y: camera.y + dy });

/** Between two, at 0 to 1; zoom by ratio, so that it looks even. */
export function between(from, to, at, window) {
  const k = from.k * (to.k / from.k) ** at;
  const middle = (camera) => ({ x: (window.w / 2 - camera.x) / camera.k, y: (window.h / 2 - camera.y) / camera.k });
  const [start, end] = [middle(from), middle(to)];
  const x = start.x + (end.x - start.x) * at;
  const y = start.y + (end.y - start.y) * at;
  return { k, x: window.w / 2 - x * k, y: window.h / 2 - y * k };
}

/** Kept so that some of the world stays in the window. */
export function held(camera, world, window) {
  const room = 80;
  return {
    k: camera.k,
    x: Math.min(window.w - room, Math.max(room - world.width * camera.k, camera.x)),
    y: Math.min(window.h - room, Math.max(room - world.height * camera.k, camera.y)),
  };
}
