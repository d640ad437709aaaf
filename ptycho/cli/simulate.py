"""`ptycho simulate`: a scan with known truth."""

from __future__ import annotations

import textwrap
from pathlib import Path

import typer

from ptycho.cli import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(simulate)


def _list(wanted: bool) -> None:
    """Print every setting with its default and meaning, and the names of all objects."""
    if not wanted:
        return
    from ptycho.simulation import PATTERNS, PHOTOGRAPHS, SimulationConfig

    for name, setting in SimulationConfig.model_fields.items():
        values = getattr(setting.annotation, "__args__", ())
        choices = " | ".join(v for v in values if isinstance(v, str))
        print(f"{name} = {setting.default}{f'   ({choices})' if choices else ''}")
        if setting.description:
            print(f"    {setting.description}")
    print("\nobjects (amplitude, phase): a picture file, a pattern or a photograph")
    for title, names in (("patterns", PATTERNS), ("photographs", PHOTOGRAPHS)):
        print(textwrap.fill(f"{title}: {', '.join(names)}", 78, subsequent_indent="    "))
    raise typer.Exit


def simulate(
    output: Path = typer.Option(
        ..., "-o", "--output", help="The scan file to write: .npz, or .cxi with a geometry."
    ),
    config: Path | None = typer.Option(None, help="YAML file with the keys of --set."),
    settings: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="One setting."),
    list_settings: bool = typer.Option(
        False,
        "--list-settings",
        callback=_list,
        is_eager=True,
        help="Print all settings, their defaults and the names of all objects.",
    ),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Simulate a scan: counts with Poisson noise, positions, probe, truth.

    \b
    ptycho simulate -o a.npz --set n_frames=900 --set photons=1e5 \\
      --set amplitude=siemens --set phase=grf --set trajectory=fermat

    \b
    Object      amplitude, phase: lines, siemens, grf, blobs, dead_leaves,
                cells, crystals, meshes, letters, a photograph of scikit-image,
                or a picture file;
                amplitude_range, phase_range_rad
    Probe       probe: disk, gaussian, focused; probe_diameter_px,
                probe_curvature_rad, probe_modes, probe_file
    Trajectory  trajectory: raster, jittered, fermat, random; step_px
    Detector    photons, poisson, background, read_noise, clip_negative,
                saturation, dead_fraction, gap_px, module_px,
                beam_stop_diameter_px
    Geometry    wavelength_m, distance_m, detector_pixel_m, near_field
    Layers      layers_behind (a list of amplitude:phase), layer_distance_m
    All         N, n_frames, seed, noise_seed
    """
    from ptycho.cli.outputs import check_scan_file
    from ptycho.config import resolve
    from ptycho.data import require_format, save_scan
    from ptycho.simulation import SimulationConfig
    from ptycho.simulation import simulate as run

    resolved = resolve(SimulationConfig, file=config, overrides=settings)
    check_scan_file(output)
    require_format(output, has_geometry=resolved.wavelength_m is not None)
    with console.progress("simulate") as bar:
        scan = run(resolved, progress=bar)
    save_scan(scan, output)
    photons = scan.photons_per_frame()
    facts = {
        "path": str(output),
        "frames": scan.n_frames,
        "N": scan.N,
        "photons_per_frame_asked": resolved.photons,
        "photons_per_frame_mean": float(photons.mean()),
        "photons_per_frame_std": float(photons.std()),
        "truth_shape_px": None if scan.truth is None else list(scan.truth.object.shape),
        "config": resolved.model_dump(mode="json"),
    }
    if json_output:
        console.print_json(facts)
        return
    print(
        f"{output}: {scan.n_frames} frames of {scan.N}², {photons.mean():.4g} photons a frame "
        f"measured ({resolved.photons:.4g} asked)"
    )
