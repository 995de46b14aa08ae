#!/bin/sh
# Builds and pushes each image of IMAGES: words of IMAGE|STEP|BASE|URI. CodeBuild runs it (buildspec.yaml) where
# contexts/STEP holds what each step's image is made of.
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

# A pushed tag stays as it is, and is the hash of what its image is made of: what is there needs no build.
there() {
    docker manifest inspect "$1" >/dev/null 2>&1
}

for entry in $IMAGES; do
    IFS='|' read -r image step base uri <<EOF
$entry
EOF
    login "$uri"
    if there "$uri"; then
        echo "there already, $step: $uri"
        continue
    fi
    echo "building $step: $uri"
    login "$base"
    # SageMaker takes Docker's own manifests only, and no index of several platforms.
    docker buildx build --platform linux/amd64 --provenance=false --output type=image,oci-mediatypes=false \
        --file "contexts/$step/containers/$image/Dockerfile" \
        --build-arg "BASE_IMAGE=$base" --build-arg "STEP=$step" --tag "$uri" "contexts/$step"
    # Refused where another build has pushed it meanwhile.
    docker push "$uri" || there "$uri"
    echo "pushed $step: $uri"
done
