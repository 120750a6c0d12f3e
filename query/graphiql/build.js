// Bundles the page into dist/: three files with stable names, which the query service embeds.
// Nothing in them is fetched from another host; `src/starter.graphql` is the query a new visitor sees.
import { cp, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const dist = new URL("./dist/", import.meta.url);

// GraphiQL's style sheet carries Roboto and Fira Code as data: 350 kB that the system's own fonts save.
const withoutFonts = {
  name: "without-fonts",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const css = await readFile(path, "utf8");
      return { contents: css.replace(/@font-face\s*\{[^}]*\}/g, ""), loader: "css" };
    });
  },
};

await rm(dist, { recursive: true, force: true });
await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: { graphiql: "src/page.jsx" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  loader: { ".graphql": "text" },
  legalComments: "eof",
  logLevel: "warning",
  plugins: [withoutFonts],
});
await cp(new URL("./src/graphiql.html", import.meta.url), new URL("./graphiql.html", dist));
