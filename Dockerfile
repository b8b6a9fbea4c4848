ARG NODE_IMAGE=node:24-trixie-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# No package that is used here needs its install script: native parts come prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM packages AS build
COPY tsconfig.json ./
COPY src ./src
# Modes as the image needs them, whatever the umask of the host was.
RUN npm run build && chmod 644 package.json

# uWebSockets.js ships a binary for every platform and Node version (180 MB); the image can load one of them.
FROM packages AS production
RUN npm ci --omit=dev --prefer-offline --ignore-scripts --no-audit --no-fund \
  && binary="uws_$(node -p '[process.platform, process.arch, process.versions.modules].join("_")').node" \
  && find node_modules/uWebSockets.js -name '*.node' ! -name "$binary" -delete \
  && find node_modules \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.?ts' \) -delete \
  && node -e 'require("uWebSockets.js")'

FROM ${NODE_IMAGE}
WORKDIR /app
ENV NODE_ENV=production \
  TICKETGATE_HOST=0.0.0.0 \
  TICKETGATE_STATE_DIR=/var/lib/ticketgate
# Group 0, as which OpenShift runs an image, under a user that it chooses.
RUN install -d -o 1000 -g 0 -m 0770 /var/lib/ticketgate
COPY --from=production /app/node_modules ./node_modules
COPY --from=build /app/package.json ./
COPY --from=build /app/dist ./dist
# The image's `node`, by number, so that Kubernetes can see that it is not root.
USER 1000:1000
VOLUME /var/lib/ticketgate
# 8081 is the admin listener: on loopback inside the container unless TICKETGATE_ADMIN_HOST says otherwise.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["node", "dist/main.js", "health"]
CMD ["node", "dist/main.js", "serve"]
