# One Carillon server. It is stateless: REDIS_URL names its Redis. It listens on all addresses of the container, so it
# starts only with API_KEYS, or with ALLOW_OPEN=true if no one else can reach it.

FROM node:24-slim AS build
WORKDIR /app
# No package needs its install scripts: everything is JavaScript, and tsc is a prebuilt binary.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
COPY lua ./lua
USER node
EXPOSE 3000
# /health answers 503 while Redis is unavailable, so the container is then unhealthy.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm, node is process 1 and receives the SIGTERM of `docker stop`.
# The small young generation keeps a large import under 200 MB. Node 24's default does not.
CMD ["node", "--max-semi-space-size=4", "--heap-growing-percent=100", "dist/main.js"]
