# docker build -t sgdem .                          for a CPU
# docker build -t sgdem --build-arg DEVICE=gpu .   for CUDA: the wheels of PyTorch bring it, the host needs its driver
#                                                  and the NVIDIA Container Toolkit (docker run --gpus all)
#
# docker run --rm -v "$PWD:/io" sgdem inference.py --model-path /io/epoch_20 --image-path /io/photo.jpg \
#     --output-path /io/out
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG DEVICE=cpu
RUN case "$DEVICE" in cpu|gpu) ;; *) echo "DEVICE=$DEVICE: give cpu or gpu" >&2; exit 2 ;; esac

# Whoever runs this is not root: what it writes into a mounted folder belongs to UID, by default the first user of a host.
ARG UID=1000
RUN useradd --uid "$UID" --create-home sgdem \
    && mkdir -p /data/sets /data/runs /io \
    && chown sgdem /data/sets /data/runs /io

WORKDIR /opt/sgdem
# The packages first: they change seldom, and a change of the code does not install them again.
COPY requirements.txt ./
RUN if [ "$DEVICE" = cpu ]; then \
        pip install --no-cache-dir $(grep -E '^torch(vision)?[>=]' requirements.txt) \
            --index-url https://download.pytorch.org/whl/cpu; \
    fi \
    && pip install --no-cache-dir -r requirements.txt
COPY . .

ENV IFN_DIR_DATASET=/data/sets IFN_DIR_CHECKPOINT=/data/runs PYTHONUNBUFFERED=1
USER sgdem
ENTRYPOINT ["python"]
CMD ["inference.py", "--help"]
