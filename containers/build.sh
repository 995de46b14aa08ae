#!/bin/sh
# Builds and pushes each image of IMAGES: words of IMAGE|STEP|BASE|URI. CodeBuild runs it (buildspec.yaml) where
# contexts/STEP contains the files of each step's image.
set -euf

login() {
    registry=${1%%/*}
    case $registry in
        *.dkr.ecr.*.amazonaws.com) ;;
        *) return 0 ;;
    esac
    region=${registry#*.dkr.ecr.}
    region=${region%%.*}
    # Not in a pipe: there a failure would be docker's empty password, not the reason.
    password=$(aws ecr get-login-password --region "$region")
    printf '%s' "$password" | docker login --username AWS --password-stdin "$registry"
}

# A pushed tag never changes, and is the hash of its image's content: an existing tag needs no build.
exists() {
    docker manifest inspect "$1" >/dev/null 2>&1
}

for entry in $IMAGES; do
    IFS='|' read -r image step base uri <<EOF
$entry
EOF
    login "$uri"
    if exists "$uri"; then
        echo "exists already, $step: $uri"
        continue
    fi
    echo "building $step: $uri"
    login "$base"
    # SageMaker accepts only Docker's own manifests, and no index of several platforms.
    docker buildx build --platform linux/amd64 --provenance=false --output type=image,oci-mediatypes=false \
        --file "contexts/$step/containers/$image/Dockerfile" \
        --build-arg "BASE_IMAGE=$base" --build-arg "STEP=$step" --tag "$uri" "contexts/$step"
    # Refused if another build has pushed it in the meantime.
    docker push "$uri" || exists "$uri"
    echo "pushed $step: $uri"
done
