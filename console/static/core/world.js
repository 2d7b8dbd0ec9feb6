/** The fabric that the console shows: fetched once, and again when its name or size changes. */

import { get } from "./api.js";
import { FabricModel } from "../fabric/model.js";

export const world = { model: null };

let pending = null;

/** The model; rejects with an ApiError. A failed fetch is tried again by the next caller. */
export function theModel() {
  if (world.model) return Promise.resolve(world.model);
  pending ??= get("fabric")
    .then((told) => {
      performance.mark("fabric-fetched");
      world.model = new FabricModel(told);
      return world.model;
    })
    .finally(() => {
      pending = null;
    });
  return pending;
}

/** Fetch it anew with the next theModel(), if the overview tells of another size than what is held. */
export function checkAgainst(overview) {
  if (world.model && overview.switches !== world.model.switches.length) world.model = null;
}
