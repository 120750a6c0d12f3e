// GraphiQL for the query service. Read next: token.js (who asks), fetcher.js (how it is asked).
import { GraphiQL } from "graphiql";
import { useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import "graphiql/style.css";
import "./page.css";
import { foldlineFetcher } from "./fetcher.js";
import starterQuery from "./starter.graphql";
import { forgetToken, storedToken, storeToken, takeTokenFromAddress } from "./token.js";

function Page() {
  const [token, setToken] = useState(storedToken);
  const [refused, setRefused] = useState(false);

  function signIn(entered) {
    storeToken(entered);
    setRefused(false);
    setToken(entered);
  }

  function signOut() {
    forgetToken();
    setToken("");
  }

  useEffect(() => {
    // A printed link opened in a tab that already shows this page changes only the fragment.
    const onHashChange = () => takeTokenFromAddress() && signIn(storedToken());
    addEventListener("hashchange", onHashChange);
    return () => removeEventListener("hashchange", onHashChange);
  }, []);

  if (!token) return <SignIn refused={refused} onToken={signIn} />;
  const onRefused = () => {
    signOut();
    setRefused(true);
  };
  // The key makes another token a new GraphiQL, which reads the schema again.
  return <Explorer key={token} token={token} onRefused={onRefused} onSignOut={signOut} />;
}

function Explorer({ token, onRefused, onSignOut }) {
  const { fetcher, dispose } = useMemo(() => foldlineFetcher(token, onRefused), [token]);
  useEffect(() => () => void dispose(), [dispose]);
  return (
    <GraphiQL fetcher={fetcher} defaultQuery={starterQuery}>
      <GraphiQL.Logo>
        <span className="foldline-name">Foldline</span>
        <button type="button" className="foldline-sign-out" onClick={onSignOut}>Sign out</button>
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

function SignIn({ refused, onToken }) {
  const [entered, setEntered] = useState("");
  const token = entered.trim().replace(/^Bearer\s+/i, "");
  function submit(event) {
    event.preventDefault();
    if (token) onToken(token);
  }
  return (
    <form className="foldline-sign-in" onSubmit={submit}>
      <h1>Foldline GraphiQL</h1>
      {refused && <p role="alert">The service refused this token. It may have expired.</p>}
      <label htmlFor="token">Token, as printed at start or by <code>foldline token</code></label>
      <input
        id="token"
        type="password"
        autoComplete="off"
        autoFocus
        value={entered}
        onChange={(event) => setEntered(event.target.value)}
      />
      <button type="submit" disabled={!token}>Sign in</button>
    </form>
  );
}

takeTokenFromAddress();
createRoot(document.getElementById("page")).render(<Page />);
