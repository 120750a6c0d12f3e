// The OpenAPI page of the command service: Swagger UI over the description it serves itself,
// already authorized with the tab's token when there is one.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./page.css";
import { storedToken, takeTokenFromAddress } from "./token.js";

const DESCRIPTION = "/api/v1/openapi.json";
// The name of the bearer scheme under `components.securitySchemes` of the description.
const SCHEME = "token";

takeTokenFromAddress();

const ui = SwaggerUI({
  dom_id: "#page",
  url: DESCRIPTION,
  validatorUrl: null, // The default asks a public validator.
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  onComplete: authorize,
});

function authorize() {
  const token = storedToken();
  if (token) ui.preauthorizeApiKey(SCHEME, token);
}

// A printed link opened in a tab that already shows this page changes only the fragment.
addEventListener("hashchange", () => takeTokenFromAddress() && authorize());
