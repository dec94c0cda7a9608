"""Errors of trained networks on their validation images.

python src/evaluate.py run=DIR                         centre view of the run's last checkpoint
python src/evaluate.py run=DIR views=ten-crop          corners and centre, mirrored too, softmax averaged (section 4.1)
python src/evaluate.py run=[A,B,C] views=ten-crop      an ensemble: softmax averaged over the runs (section 6)

checkpoint=last|best   best is that of the lowest validation error; last (the default) is what result.json reports
devices=2              share the images among devices; accelerator=auto|cpu|gpu says which kind
data.root=DIR          where the images are now, if they have moved, or others of the same classes, by name;
                       data.store_root=DIR likewise
trust=true             let a network or a data set run that is not built in, as the run's folder names it (SECURITY.md)
out=DIR                where the files go; else RUN/evaluation/, of several runs runs/ensembles/
"""

from alexnet_lab.cli import command_line
from alexnet_lab.cli.evaluate import evaluate

if __name__ == "__main__":
    command_line.help_or_run(evaluate, __doc__)
