// A photo that the browser cannot decode, or that no longer exists, is named and not shown.
"use strict";

function name(photo) {
  const place = photo.closest("li, figure");
  if (!place) return;
  const text = document.createElement("span");
  text.className = "hidden";
  text.textContent = "cannot be shown";
  (photo.closest("a") || photo).replaceWith(text);
}

// The event of an image does not bubble; it is heard on its way down.
document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement && event.target.closest(".photos")) name(event.target);
}, true);

// Those that failed before this script ran.
for (const photo of document.querySelectorAll(".photos img")) {
  if (photo.complete && !photo.naturalWidth) name(photo);
}
