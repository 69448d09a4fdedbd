# One Carillon server. It keeps nothing itself: REDIS_URL says where its Redis is. It listens on every address of its
# container, and so starts only with API_KEYS, or with ALLOW_OPEN=true where nobody else can reach it.

FROM node:24-slim AS build
WORKDIR /app
# No package needs its install scripts here: all that runs is JavaScript, and tsc comes as a binary of the platform.
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
# 503 while Redis does not answer, so that counts as unhealthy too.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm around it, node is process 1 and gets the SIGTERM of `docker stop` itself.
# A small young generation: a large import stays under 200 MB, which it would not with what Node 24 takes by itself.
CMD ["node", "--max-semi-space-size=4", "--heap-growing-percent=100", "dist/main.js"]
