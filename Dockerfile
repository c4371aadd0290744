# One image for all parts; the command says which part a container is: serve, worker, scheduler, migrate.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    CRAWL_DATA_DIR=/var/lib/crawl \
    CRAWL_LOG_FORMAT=json

# Debian's own browser: rebuild the image to get its security updates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends chromium-headless-shell fonts-liberation fonts-noto-core \
    && rm -rf /var/lib/apt/lists/*

# Chromium builds its sandbox from user namespaces, which it refuses to do as root.
RUN useradd --create-home --uid 10001 crawl \
    && install --directory --owner crawl --group crawl --mode 0700 /var/lib/crawl

WORKDIR /opt/crawl
COPY requirements/ requirements/
RUN pip install --require-hashes --requirement requirements/build.txt --requirement requirements/base.txt
COPY pyproject.toml README.md LICENSE ./
COPY crawler/ crawler/
COPY api/ api/
COPY workers/ workers/
COPY cli/ cli/
COPY migrations/ migrations/
RUN pip install --no-deps --no-build-isolation .

USER crawl
WORKDIR /home/crawl
VOLUME /var/lib/crawl
EXPOSE 8787
# For a container that serves; docker-compose.yml has others for those that do not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8787/health', timeout=4)"]
ENTRYPOINT ["crawl"]
# Alone it is the whole service in one process, on SQLite; it refuses to listen here without CRAWL_API_TOKEN.
CMD ["serve", "--host", "0.0.0.0"]
