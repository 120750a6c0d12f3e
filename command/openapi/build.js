// Bundles the page into dist/: three files with stable names, which the command service embeds.
// Nothing in them is fetched from another host.
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const dist = new URL("./dist/", import.meta.url);
const swagger = new URL("./node_modules/swagger-ui-dist/", import.meta.url);

await rm(dist, { recursive: true, force: true });
await build({
  absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
  entryPoints: { openapi: "src/page.js" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});
// Swagger UI comes minified, its notices in files of their own: they travel along.
const notices = await Promise.all(
  ["NOTICE", "swagger-ui-es-bundle.js.LICENSE.txt"].map((name) => readFile(new URL(name, swagger), "utf8")),
);
const script = new URL("./openapi.js", dist);
await writeFile(script, `${await readFile(script, "utf8")}\n/*! ${notices[0].trim()} (Apache-2.0) */\n${notices[1]}`);
await cp(new URL("./src/index.html", import.meta.url), new URL("./index.html", dist));
