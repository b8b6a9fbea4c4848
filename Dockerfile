ARG NODE_IMAGE=node:24-trixie-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# No package needs its install script here: native parts come prebuilt.
RUN npm ci --ignore-scripts --no-audit --no-fund

FROM packages AS build
COPY tsconfig.json ./
COPY src ./src
# Sets file modes regardless of the host's umask.
RUN npm run build && chmod 644 package.json

# uWebSockets.js ships binaries for every platform and Node version (180 MB); keep the one that fits.
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
# OpenShift runs images as an arbitrary user in group 0.
RUN install -d -o 1000 -g 0 -m 0770 /var/lib/ticketgate
COPY --from=production /app/node_modules ./node_modules
COPY --from=build /app/package.json ./
COPY --from=build /app/dist ./dist
# The user `node`, by number, so that Kubernetes can verify that it is not root.
USER 1000:1000
VOLUME /var/lib/ticketgate
# 8081 is the admin listener, on loopback inside the container unless TICKETGATE_ADMIN_HOST is set.
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["node", "dist/main.js", "health"]
CMD ["node", "dist/main.js", "serve"]
