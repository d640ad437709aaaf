"""`ptycho simulate`: a scan with known truth."""

from __future__ import annotations

from pathlib import Path

import typer

from ptycho.cli import console


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(simulate)


def simulate(
    output: Path = typer.Option(..., "-o", "--output", help="The scan file to write (NPZ)."),
    config: Path | None = typer.Option(None, help="YAML file with the keys of --set."),
    settings: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="One setting."),
    json_output: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    """Simulate a scan: counts with Poisson noise, positions, probe, truth.

    Settings: N, n_frames, photons, amplitude, phase (lines, siemens, grf, blobs, dead_leaves,
    photographs or picture files), amplitude_range, phase_range_rad, probe, probe_diameter_px,
    probe_curvature_rad, probe_file, probe_modes, trajectory, step_px, background, poisson,
    read_noise, clip_negative, saturation, dead_fraction, gap_px, module_px,
    beam_stop_diameter_px, seed, noise_seed.
    """
    from ptycho.config import resolve
    from ptycho.data import save_scan
    from ptycho.simulation import SimulationConfig
    from ptycho.simulation import simulate as run

    resolved = resolve(SimulationConfig, file=config, overrides=settings)
    with console.progress("simulate") as bar:
        scan = run(resolved, progress=bar)
    save_scan(scan, output)
    photons = scan.photons_per_frame()
    facts = {
        "path": str(output),
        "frames": scan.n_frames,
        "N": scan.N,
        "photons_per_frame_mean": float(photons.mean()),
        "config": resolved.model_dump(mode="json"),
    }
    if json_output:
        console.print_json(facts)
    else:
        print(
            f"{output}: {scan.n_frames} frames of {scan.N}², {photons.mean():.4g} photons a frame"
        )
