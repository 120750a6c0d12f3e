// How GraphiQL reaches the query service: queries and mutations by POST, subscriptions over
// graphql-transport-ws, both on the origin that served the page and both with the tab's token.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";

const HTTP_PATH = "/graphql";
const WS_PATH = "/graphql/ws";
const RECONNECTS_MAX = 5;

/** `onRefused` is called when the service answers that the token is not, or no longer, good. */
export function foldlineFetcher(token, onRefused) {
  const authorization = `Bearer ${token}`;

  const wsClient = createClient({
    url: new URL(WS_PATH, location.href).href.replace(/^http/, "ws"),
    connectionParams: { authorization },
    retryAttempts: RECONNECTS_MAX,
  });

  async function authorizedFetch(input, init) {
    const headers = new Headers(init?.headers);
    // What is typed into the headers editor wins: that is how another token is tried out.
    const ownToken = !headers.has("authorization");
    if (ownToken) headers.set("authorization", authorization);
    const response = await fetch(input, { ...init, headers });
    if (ownToken && response.status === 401) onRefused();
    return response;
  }

  return {
    fetcher: createGraphiQLFetcher({ url: HTTP_PATH, fetch: authorizedFetch, wsClient }),
    dispose: () => wsClient.dispose(),
  };
}
