// The bearer token of this browser tab. It arrives in the fragment of the printed link, which no server
// ever sees, and lives in sessionStorage: it ends with the tab. The OpenAPI page keeps it under the same
// name, so that on one origin one sign-in serves both.

const KEY = "foldline.token";

export function storedToken() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function storeToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

/** Takes `#token=…` out of the address bar and stores it; answers whether there was one. */
export function takeTokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token")?.trim();
  if (!token) return false;
  storeToken(token);
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}
