-- name: store_settled
-- What the ends of their attempts have made of jobs that are locked: a statement for all of them.
UPDATE jobs SET state = ended.state, run_at = ended.run_at, updated_at = ended.updated_at, failures = ended.failures,
    losses = ended.losses, finished_at = ended.finished_at, exit_code = ended.exit_code,
    last_error = ended.last_error, suspect = ended.suspect, unique_held = ended.unique_held, slot = NULL, worker = NULL, lease_id = NULL
FROM unnest(
    :id, :state, :run_at, :updated_at, :failures, :losses, :finished_at, :exit_code, :last_error, :suspect, :unique_held
) AS ended (id, state, run_at, updated_at, failures, losses, finished_at, exit_code, last_error, suspect,
    unique_held)
WHERE jobs.id = ended.id;

-- name: end_attempts
-- The ends of these attempts, unless they have ended: a statement for all of them.
UPDATE attempts SET finished_at = ended.finished_at, ran = ended.ran, outcome = ended.outcome,
    exit_code = ended.exit_code, signal = ended.signal, error = ended.error,
    output_truncated = ended.output_truncated, output = ended.output
FROM unnest(
    :finished_at, :ran, :outcome, :exit_code, :signal, :error, :output_truncated, :output, :job_id, :number
) AS ended (finished_at, ran, outcome, exit_code, signal, error, output_truncated, output, job_id, number)
WHERE attempts.job_id = ended.job_id AND attempts.number = ended.number AND attempts.outcome IS NULL;
